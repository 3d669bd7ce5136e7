"""Autoscaling on seconds of backlog: policy.py decides, serve_policy.py is its adapter to Ray Serve."""
