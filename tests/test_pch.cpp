// Nothing here: the target needs one source that uses its precompiled headers.
