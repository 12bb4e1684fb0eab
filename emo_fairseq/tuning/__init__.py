"""How a pretrained encoder is trained further: what learns, when, at which rate, in what memory."""
