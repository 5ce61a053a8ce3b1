"""Whether what ran is right: tensors compared, wrong ones traced to tasks, other orders tried."""
