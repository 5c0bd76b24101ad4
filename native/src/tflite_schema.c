/* The schema of .tflite files, version 3, as LiteRT 2.3 has it: tflite/converter/schema/schema.fbs of
 * github.com/google-ai-edge/LiteRT. A test compares it with the reader that the package ai_edge_litert generated from
 * that file. Unknown fields at the end of a table are passed over, as every reader of FlatBuffers does.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tflite_schema.h"

static const er_flat_type options[] = {
    {NULL, ""},
    {"Conv2DOptions", "padding:b stride_w:i stride_h:i fused_activation_function:b dilation_w_factor:i "
                      "dilation_h_factor:i quantized_bias_type:b"},
    {"DepthwiseConv2DOptions", "padding:b stride_w:i stride_h:i depth_multiplier:i fused_activation_function:b "
                               "dilation_w_factor:i dilation_h_factor:i"},
    {"ConcatEmbeddingsOptions", "num_channels:i num_columns_per_channel:I embedding_dim_per_channel:I"},
    {"LSHProjectionOptions", "type:b"},
    {"Pool2DOptions", "padding:b stride_w:i stride_h:i filter_width:i filter_height:i fused_activation_function:b"},
    {"SVDFOptions", "rank:i fused_activation_function:b asymmetric_quantize_inputs:b"},
    {"RNNOptions", "fused_activation_function:b asymmetric_quantize_inputs:b"},
    {"FullyConnectedOptions",
     "fused_activation_function:b weights_format:b keep_num_dims:b asymmetric_quantize_inputs:b "
     "quantized_bias_type:b quant_spec:B"},
    {"SoftmaxOptions", "beta:i"},
    {"ConcatenationOptions", "axis:i fused_activation_function:b"},
    {"AddOptions", "fused_activation_function:b pot_scale_int16:b"},
    {"L2NormOptions", "fused_activation_function:b"},
    {"LocalResponseNormalizationOptions", "radius:i bias:i alpha:i beta:i"},
    {"LSTMOptions", "fused_activation_function:b cell_clip:i proj_clip:i kernel_type:b asymmetric_quantize_inputs:b"},
    {"ResizeBilinearOptions", "deprecated:- deprecated:- align_corners:b half_pixel_centers:b"},
    {"CallOptions", "subgraph:i"},
    {"ReshapeOptions", "new_shape:I"},
    {"SkipGramOptions", "ngram_size:i max_skip_size:i include_all_ngrams:b"},
    {"SpaceToDepthOptions", "block_size:i"},
    {"EmbeddingLookupSparseOptions", "combiner:b"},
    {"MulOptions", "fused_activation_function:b"},
    {"PadOptions", ""},
    {"GatherOptions", "axis:i batch_dims:i"},
    {"BatchToSpaceNDOptions", ""},
    {"SpaceToBatchNDOptions", ""},
    {"TransposeOptions", ""},
    {"ReducerOptions", "keep_dims:b"},
    {"SubOptions", "fused_activation_function:b pot_scale_int16:b"},
    {"DivOptions", "fused_activation_function:b"},
    {"SqueezeOptions", "squeeze_dims:I"},
    {"SequenceRNNOptions", "time_major:b fused_activation_function:b asymmetric_quantize_inputs:b"},
    {"StridedSliceOptions", "begin_mask:i end_mask:i ellipsis_mask:i new_axis_mask:i shrink_axis_mask:i offset:b"},
    {"ExpOptions", ""},
    {"TopKV2Options", ""},
    {"SplitOptions", "num_splits:i"},
    {"LogSoftmaxOptions", ""},
    {"CastOptions", "in_data_type:b out_data_type:b"},
    {"DequantizeOptions", ""},
    {"MaximumMinimumOptions", ""},
    {"ArgMaxOptions", "output_type:b"},
    {"LessOptions", ""},
    {"NegOptions", ""},
    {"PadV2Options", ""},
    {"GreaterOptions", ""},
    {"GreaterEqualOptions", ""},
    {"LessEqualOptions", ""},
    {"SelectOptions", ""},
    {"SliceOptions", ""},
    {"TransposeConvOptions", "padding:b stride_w:i stride_h:i fused_activation_function:b quantized_bias_type:b"},
    {"SparseToDenseOptions", "validate_indices:b"},
    {"TileOptions", ""},
    {"ExpandDimsOptions", ""},
    {"EqualOptions", ""},
    {"NotEqualOptions", ""},
    {"ShapeOptions", "out_type:b"},
    {"PowOptions", ""},
    {"ArgMinOptions", "output_type:b"},
    {"FakeQuantOptions", "min:i max:i num_bits:i narrow_range:b"},
    {"PackOptions", "values_count:i axis:i"},
    {"LogicalOrOptions", ""},
    {"OneHotOptions", "axis:i"},
    {"LogicalAndOptions", ""},
    {"LogicalNotOptions", ""},
    {"UnpackOptions", "num:i axis:i"},
    {"FloorDivOptions", ""},
    {"SquareOptions", ""},
    {"ZerosLikeOptions", ""},
    {"FillOptions", ""},
    {"BidirectionalSequenceLSTMOptions",
     "fused_activation_function:b cell_clip:i proj_clip:i merge_outputs:b time_major:b "
     "asymmetric_quantize_inputs:b"},
    {"BidirectionalSequenceRNNOptions",
     "time_major:b fused_activation_function:b merge_outputs:b asymmetric_quantize_inputs:b"},
    {"UnidirectionalSequenceLSTMOptions",
     "fused_activation_function:b cell_clip:i proj_clip:i time_major:b asymmetric_quantize_inputs:b "
     "diagonal_recurrent_tensors:b"},
    {"FloorModOptions", ""},
    {"RangeOptions", ""},
    {"ResizeNearestNeighborOptions", "align_corners:b half_pixel_centers:b"},
    {"LeakyReluOptions", "alpha:i"},
    {"SquaredDifferenceOptions", ""},
    {"MirrorPadOptions", "mode:b"},
    {"AbsOptions", ""},
    {"SplitVOptions", "num_splits:i"},
    {"UniqueOptions", "idx_out_type:b"},
    {"ReverseV2Options", ""},
    {"AddNOptions", ""},
    {"GatherNdOptions", ""},
    {"CosOptions", ""},
    {"WhereOptions", ""},
    {"RankOptions", ""},
    {"ReverseSequenceOptions", "seq_dim:i batch_dim:i"},
    {"MatrixDiagOptions", ""},
    {"QuantizeOptions", ""},
    {"MatrixSetDiagOptions", ""},
    {"HardSwishOptions", ""},
    {"IfOptions", "then_subgraph_index:i else_subgraph_index:i"},
    {"WhileOptions", "cond_subgraph_index:i body_subgraph_index:i"},
    {"DepthToSpaceOptions", "block_size:i"},
    {"NonMaxSuppressionV4Options", ""},
    {"NonMaxSuppressionV5Options", ""},
    {"ScatterNdOptions", ""},
    {"SelectV2Options", ""},
    {"DensifyOptions", ""},
    {"SegmentSumOptions", ""},
    {"BatchMatMulOptions", "adj_x:b adj_y:b asymmetric_quantize_inputs:b"},
    {"CumsumOptions", "exclusive:b reverse:b"},
    {"CallOnceOptions", "init_subgraph_index:i"},
    {"BroadcastToOptions", ""},
    {"Rfft2dOptions", ""},
    {"Conv3DOptions", "padding:b stride_d:i stride_w:i stride_h:i fused_activation_function:b dilation_d_factor:i "
                      "dilation_w_factor:i dilation_h_factor:i"},
    {"HashtableOptions", "table_id:i key_dtype:b value_dtype:b"},
    {"HashtableFindOptions", ""},
    {"HashtableImportOptions", ""},
    {"HashtableSizeOptions", ""},
    {"VarHandleOptions", "container:s shared_name:s"},
    {"ReadVariableOptions", ""},
    {"AssignVariableOptions", ""},
    {"RandomOptions", "seed:l seed2:l"},
    {"BucketizeOptions", "boundaries:I"},
    {"GeluOptions", "approximate:b"},
    {"DynamicUpdateSliceOptions", ""},
    {"UnsortedSegmentProdOptions", ""},
    {"UnsortedSegmentMaxOptions", ""},
    {"UnsortedSegmentMinOptions", ""},
    {"UnsortedSegmentSumOptions", ""},
    {"ATan2Options", ""},
    {"SignOptions", ""},
    {"BitcastOptions", ""},
    {"BitwiseXorOptions", ""},
    {"RightShiftOptions", ""},
};

static const er_flat_type options2[] = {
    {NULL, ""},
    {"StablehloConcatenateOptions", "dimension:l"},
    {"StablehloBroadcastInDimOptions", "broadcast_dimensions:L"},
    {"StablehloSliceOptions", "start_indices:L limit_indices:L strides:L"},
    {"StablehloConvolutionOptions",
     "window_strides:L padding:L lhs_dilation:L rhs_dilation:L window_reversal:B "
     "input_batch_dimension:l input_feature_dimension:l input_spatial_dimensions:L "
     "kernel_input_feature_dimension:l kernel_output_feature_dimension:l kernel_spatial_dimensions:L "
     "output_batch_dimension:l output_feature_dimension:l output_spatial_dimensions:L "
     "feature_group_count:l batch_group_count:l precision_config:I"},
    {"StablehloCustomCallOptions",
     "call_target_name:s has_side_effect:b backend_config:s api_version:i called_computations:I "
     "custom_attributes:B"},
    {"StablehloReduceOptions", "dimensions:L body_subgraph_index:i"},
    {"StablehloScatterOptions",
     "indices_are_sorted:b update_window_dims:L inserted_window_dims:L scatter_dims_to_operand_dims:L "
     "index_vector_dim:l unique_indices:b update_computation_subgraph_index:i"},
    {"StablehloCompareOptions", "comparison_direction:i compare_type:i"},
    {"StablehloDynamicSliceOptions", "slice_sizes:L"},
    {"StablehloPadOptions", "edge_padding_low:L edge_padding_high:L interior_padding:L"},
    {"StablehloIotaOptions", "iota_dimension:l"},
    {"StablehloDotGeneralOptions", "lhs_batching_dimensions:L rhs_batching_dimensions:L lhs_contracting_dimensions:L "
                                   "rhs_contracting_dimensions:L precision_config:I"},
    {"StablehloReduceWindowOptions",
     "window_dimensions:L window_strides:L base_dilations:L window_dilations:L padding:L "
     "body_subgraph_index:i"},
    {"StablehloSortOptions", "dimension:l is_stable:b comparator_subgraph_index:i"},
    {"StablehloWhileOptions", "cond_subgraph_index:i body_subgraph_index:i"},
    {"StablehloGatherOptions",
     "offset_dims:L collapsed_slice_dims:L start_index_map:L index_vector_dim:l slice_sizes:L "
     "indices_are_sorted:b"},
    {"StablehloTransposeOptions", "permutation:L"},
    {"DilateOptions", ""},
    {"StablehloRngBitGeneratorOptions", "algorithm:b"},
    {"ReduceWindowOptions", "reduce_function:i"},
    {"StableHLOCompositeOptions",
     "name:s decomposition_subgraph_index:i composite_attributes:B composite_attributes_format:b "
     "version:i"},
    {"StablehloShiftLeftOptions", ""},
    {"StablehloCaseOptions", "branch_subgraph_indices:I"},
};

static const er_flat_type details[] = {
    {NULL, ""},
    {"CustomQuantization", "custom:B"},
    {"BlockwiseQuantization", "scales:i zero_points:i block_size:i block_shape:I"},
    {"MultiAxisQuantization", "scales:i zero_points:i block_size:i quantized_dimensions:I"},
};

static const er_flat_type index_vectors[] = {
    {NULL, ""},
    {"Int32Vector", "values:I"},
    {"Uint16Vector", "values:H"},
    {"Uint8Vector", "values:B"},
};

static const er_flat_type model = {
    "Model", "version:i operator_codes:[C] subgraphs:[G] description:s buffers:[F] metadata_buffer:I "
             "metadata:[M] signature_defs:[S] external_buffer_groups:[X] external_buffers:[E]"};
static const er_flat_type operator_code = {"OperatorCode",
                                           "deprecated_builtin_code:b custom_code:s version:i builtin_code:i"};
static const er_flat_type subgraph = {"SubGraph",
                                      "tensors:[T] inputs:I outputs:I operators:[O] name:s debug_metadata_index:i"};
static const er_flat_type tensor = {
    "Tensor", "shape:I type:b buffer:i name:s quantization:{Q} is_variable:b sparsity:{Y} shape_signature:I "
              "has_rank:b variant_tensors:[V] external_buffer:i"};
static const er_flat_type operator = {
    "Operator", "opcode_index:i inputs:I outputs:I builtin_options_type:b builtin_options:<A> custom_options:B "
                "custom_options_format:b mutating_variable_inputs:B intermediates:I large_custom_options_offset:l "
                "large_custom_options_size:l builtin_options2_type:b builtin_options2:<B> debug_metadata_index:i"};
static const er_flat_type buffer = {"Buffer", "data:B offset:l size:l"};
static const er_flat_type metadata = {"Metadata", "name:s buffer:i"};
static const er_flat_type tensor_map = {"TensorMap", "name:s tensor_index:i"};
static const er_flat_type signature_def = {"SignatureDef",
                                           "inputs:[P] outputs:[P] signature_key:s deprecated:- subgraph_index:i"};
static const er_flat_type external_buffer_group = {"ExternalBufferGroup", "name:s"};
static const er_flat_type external_buffer = {"ExternalBuffer", "id:i group:i offset:l length:l packing:s"};
static const er_flat_type quantization_parameters = {
    "QuantizationParameters", "min:I max:I scale:I zero_point:L details_type:b details:<N> quantized_dimension:i"};
static const er_flat_type sparsity_parameters = {"SparsityParameters",
                                                 "traversal_order:I block_map:I dim_metadata:[D]"};
static const er_flat_type dimension_metadata = {
    "DimensionMetadata", "format:b dense_size:i array_segments_type:b array_segments:<I> array_indices_type:b "
                         "array_indices:<I>"};
static const er_flat_type variant_sub_type = {"VariantSubType", "shape:I type:b has_rank:b"};

#define AT(letter) [(letter) - 'A']
#define UNION(types) {types, sizeof types / sizeof types[0]}

const er_flat_schema er_tflite_schema = {
    .root = &model,
    .tables = {AT('C') = &operator_code, AT('D') = &dimension_metadata, AT('E') = &external_buffer, AT('F') = &buffer,
               AT('G') = &subgraph, AT('M') = &metadata, AT('O') = &operator, AT('P') = &tensor_map,
               AT('Q') = &quantization_parameters, AT('S') = &signature_def, AT('T') = &tensor,
               AT('V') = &variant_sub_type, AT('X') = &external_buffer_group, AT('Y') = &sparsity_parameters},
    .unions = {AT('A') = UNION(options), AT('B') = UNION(options2), AT('I') = UNION(index_vectors),
               AT('N') = UNION(details)},
};
