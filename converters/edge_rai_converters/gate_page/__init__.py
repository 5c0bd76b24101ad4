"""The gate's report as one HTML page that needs nothing but itself; `document.gate_page` makes it."""
