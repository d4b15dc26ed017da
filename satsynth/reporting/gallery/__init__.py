"""The gallery: a page of single pairs that opens from a disk, and the files that it reads.

`packing` writes the files of one source, `document` the page; what the page does in a browser stands in `static`. Data are scripts that
hand over text (`satsynth(place, kind, number, value)`), since a page of a disk may fetch no file, and pictures are part of them.
"""
