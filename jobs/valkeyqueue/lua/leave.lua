-- ARGV: replica. It hands back, uncounted, all that it has leased, and forgets the replica. It returns whether there
-- is more.
local more = false
for p = 0, 1 do
  for h = 0, SHARDS - 1 do
    local stream = line(p, h)
    if call('EXISTS', stream) == 1 then
      group(stream)
      local some = pended(stream, ARGV[1], 100, function(id, key) reclaim(stream, id, key, true) end)
      more = more or some
      if not some then call('XGROUP', 'DELCONSUMER', stream, 'w', ARGV[1]) end
    end
  end
end
if not more then
  call('ZREM', B .. 'r', ARGV[1])
  call('ZREM', B .. 'l', ARGV[1])
end
return more and 1 or 0
