"""What a bundle says to people: its risk and change plan, its card as a page, and what differs between two bundles."""
