"""RealBasicVSR: cleaning, alignment by flow, propagation both ways; its training and export."""
