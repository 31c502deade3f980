"""What finished, kept in a file: a run that was stopped goes on where it was.

store     the file: rows in, rows out, by a thread of its own
opening   how it is opened, and what its errors mean
claims    one run at a time writes to it
keys      what an item is called; `resume` looks it up, in `store`
identity  what a function is, told apart from others by what it does and, by `held`, what is bound to it
codecs    how a result is written: pickle or JSON
resume    which items are still to be called, and results of before between those of now
"""
