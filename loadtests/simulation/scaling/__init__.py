"""Autoscaling policies against recorded arrivals: gateway queue, engines and start-up modelled, the policy the deployed one."""
