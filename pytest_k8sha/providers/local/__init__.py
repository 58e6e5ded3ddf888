"""The `local` provider: a real control plane as ordinary processes, with KWOK nodes. No Docker, no root."""
