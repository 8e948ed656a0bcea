"""ECG-Byte from the command line: ``python -m data_prep.ecg_byte COMMAND``."""
