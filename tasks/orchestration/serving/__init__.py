"""Images, pools and deployments: how steps get into containers."""
