"""The worker of Assay: exact arithmetic, programs, commitments, jobs, disputes, and the daemon."""
