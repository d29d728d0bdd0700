"""The ledger store: what the attempts, ledger and feedback topics come to, in SQL.

`facts` reads records, `fold` says what each fact adds to the sums, `store` keeps both in one transaction with the offsets,
`report` asks. The topics are the truth: a store can be thrown away and filled again.
"""
