"""The commands beside sending.

all   check, and templates list, diff, push and preview
"""
