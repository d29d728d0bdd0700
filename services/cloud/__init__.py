"""The cloud tier: answers by a vendor's API, and never sees a restricted request."""
