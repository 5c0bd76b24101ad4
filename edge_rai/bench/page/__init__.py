"""A result of the bench as one HTML page that needs nothing but itself; `document.page` makes it."""
