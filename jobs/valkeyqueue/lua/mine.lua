-- ARGV: replica. It returns key and token of all that it has leased.
local mine = {}
for p = 0, 1 do
  for h = 0, SHARDS - 1 do
    local _, pending = ready(p, h)
    if pending > 0 then
      pended(line(p, h), ARGV[1], 500, function(_, key)
        local token = key and call('HGET', B .. 'j' .. key, 't')
        if token then
          mine[#mine + 1] = key
          mine[#mine + 1] = token
        end
      end)
    end
  end
end
return mine
