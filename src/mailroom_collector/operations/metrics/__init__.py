"""The exporter for Prometheus.

settlement_counts   counts each settlement once
scrapers            pure: which counters each scraper has seen, so that each counter begins at 0
outlook_reader      reads what waits, by action, in the background
families            figures as metric families
exporter            reads the ledger for a scrape
server              serves the metrics over HTTP
"""
