"""What the service is asked and what it answers, watched for change. Keeps numbers, never text."""
