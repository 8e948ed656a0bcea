"""From a folder of recordings to shards: python -m data_prep.prepare."""
