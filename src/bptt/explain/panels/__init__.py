"""What each panel of an explanation holds, as blocks of the document."""
