//! A play: a program of the guide, its log, and the peers that a script lets connect.
