"""The pipeline, in the order a document takes it. The only package that imports torch.

intake      the folder is scanned; settled files become documents    (extract, markup, watcher)
batching    pending documents become a batch
study       the model writes study items and probes about it         (chunking, policies)
train       a child trains the adapter on them, with rehearsal       (losses, trunk, rehearsal)
examine     the head and the candidate answer the probes             (generate)
gate        enough learned, nothing lost? accept or reject
merge       frozen base + adapter -> the model that is served
cycle       takes a batch through all this, one stage a transaction  (executor)
"""
