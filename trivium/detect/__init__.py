"""Finds personal data in texts: cards, e-mail addresses, phone numbers, national numbers (docs/security.md)."""
