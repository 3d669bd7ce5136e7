"""The Locust suite: users that understand streams, arrivals, shapes, the gate and the report."""
