"""Dead letters as people work through them: which wait (`letters`), and sending some again (`sending_again`)."""
