"""The continuous archive of the oplog: one agent reads its node, compresses and stores, always."""
