"""The gRPC door: runs journeys in process, or hands them to the log and waits."""
