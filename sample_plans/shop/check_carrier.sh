# Compares the shop's addresses with the carrier's list. The list is being rewritten during the first two
# attempts; trouble.attempts counts them, and the first task of the plan sets the count back.
count=$(cat trouble.attempts 2>/dev/null || echo 0)
count=$((count + 1))
echo "$count" > trouble.attempts

echo "carrier list: opened, 412,004 bytes, dated last night"
sleep 0.3
echo "  500 addresses compared, all known"
sleep 0.3
if [ "$count" -le 2 ]; then
    echo "  carrier list: 398,112 bytes now; it was written to while being read"
    echo "  (the carrier replaces the list every night, and needs a minute or two for it)"
    echo "  731 addresses compared, 212 of them unknown"
    echo "result thrown away: a list that changes proves nothing. The shop was only read." >&2
    exit 1
fi
echo "  1,000 addresses compared, all known"
sleep 0.3
echo "all addresses compared, all known"
