"""The Grafana boards as code: ``python -m dashboards.boards`` writes the JSON that is provisioned.

Series come from Prometheus, tables from the read API by the Infinity data source. The SDK that they
are built with is a development dependency: nothing that runs imports this package.
"""
