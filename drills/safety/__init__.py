"""What keeps a drill from doing harm: the lever, blocked windows, limits over all drills, approval, signatures."""
