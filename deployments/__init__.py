"""What runs on Ray Serve: the engine and gateway deployments, their autoscaling, and the supervisor behind `sluice up`."""
