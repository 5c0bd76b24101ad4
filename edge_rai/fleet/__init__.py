"""What runs beside the fleet, not on a device: the collector, its store and the status of all devices."""
