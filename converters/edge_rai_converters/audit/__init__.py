"""What is wrong with reference data: duplicates, leakage, idle columns, doubtful labels, slices too small to judge."""

from edge_rai_converters.audit.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from edge_rai_converters.audit.report import AuditReport, Finding
from edge_rai_converters.audit.run import audit, audit_dataset

__all__ = [
    "AuditReport",
    "Finding",
    "audit",
    "audit_dataset",
    "cohen_kappa",
    "fleiss_kappa",
    "krippendorff_alpha",
]
