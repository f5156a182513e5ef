"""The exporter for Prometheus.

settlement_counts   counts each settlement once
scrapers            pure: which counters each scraper was shown, so that each begins at 0
exporter            serves the metrics
"""
