"""What clients of Prefect import from ``prefect.client.schemas``, under the same names."""
