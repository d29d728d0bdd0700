"""Work that may wait: the cloud's is packed into batches at a lower price, the own hardware's is kept until off-peak hours."""
