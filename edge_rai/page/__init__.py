"""Pages that need nothing but themselves: markup, drawings, how they look, and the frame around them."""
