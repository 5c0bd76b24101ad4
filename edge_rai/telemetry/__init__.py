"""From the spool on the device to an OpenTelemetry backend: reading batch files, encoding them, uploading them."""
