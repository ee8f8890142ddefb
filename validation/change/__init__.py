"""The algorithm change protocol, the impact of a change, revalidation and monitoring."""
