"""The NetworkPolicy engine: what policies say, what the network does, and where the two differ.

`places` holds who talks to whom, `policy` the policies as they are written, `evaluate` what follows from them, `admin`
the administrator's policies above and below; these touch no cluster. `table` is the truth table with its two sides.
"""
