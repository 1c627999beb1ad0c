"""Rows in every form in which they come: one small file a form, behind one registry."""

from foldtune.trainers.data.readers.registry import READERS, TABLE_SUFFIXES, find_reader, read_source
from foldtune.trainers.data.readers.source import Part, Reader, ReadOptions, Source

__all__ = ["READERS", "TABLE_SUFFIXES", "Part", "ReadOptions", "Reader", "Source", "find_reader", "read_source"]
