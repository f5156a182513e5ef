"""The exporter for Prometheus.

settlement_counts   counts each settlement once
scrapers            pure: which counters each scraper was shown, so that each begins at 0
families            the figures as metric families
exporter            what a scrape shows: asks the ledger
server              serves the metrics over HTTP
"""
