"""The ledger's store as a process: reads the attempts, ledger and feedback topics into SQL, and answers reports."""
