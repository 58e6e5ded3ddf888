"""What a check is: the catalogue, the judge that comes to a verdict, the attribution of denials."""
