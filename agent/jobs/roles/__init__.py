"""The role flow: what IAM needs is told, and a role is tried out, or forgotten."""
