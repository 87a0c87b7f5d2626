-- ARGV: milliseconds. It deletes a queue in which no replica has been heard of for so long, in steps. It returns 1 if
-- there is more, 0 if all is gone, -1 if the queue is in use.
local last = call('ZRANGE', B .. 'r', -1, -1, 'WITHSCORES')
if last[2] and now - tonumber(last[2]) < tonumber(ARGV[1]) * 1000 then return -1 end
local names, STEP = { B .. 'm', B .. 'x', B .. 'r', B .. 'l' }, 500
for p = 0, 1 do
  local delayed = B .. 'd' .. p
  for _, key in ipairs(call('ZRANGE', delayed, 0, STEP - 1)) do
    call('UNLINK', B .. 'j' .. key)
    call('ZREM', delayed, key)
  end
  if call('ZCARD', delayed) > 0 then return 1 end
  for h = 0, SHARDS - 1 do
    local stream = line(p, h)
    for _, entry in ipairs(call('XRANGE', stream, '-', '+', 'COUNT', STEP)) do
      call('UNLINK', B .. 'j' .. entry[2][2])
      call('XDEL', stream, entry[1])
    end
    if call('XLEN', stream) > 0 then return 1 end
    names[#names + 1] = stream
  end
end
call('UNLINK', unpack(names))
return 0
