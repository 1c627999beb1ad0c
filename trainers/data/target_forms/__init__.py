"""Forms in which tables hold labels, each brought to the text of one column that the tasks read."""
