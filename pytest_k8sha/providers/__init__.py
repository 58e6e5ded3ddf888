"""How clusters come to be: one folder or module for each provider, behind one small Protocol (`base.Provider`)."""
