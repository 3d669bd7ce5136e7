"""The guard judged by simulated traffic: false alarms by honest family, attackers found, and what they got before."""
