-- ARGV: version or ''. It notes that the version is in use, and returns all with the seconds since they were.
if ARGV[1] ~= '' then call('ZADD', B, num(now), ARGV[1]) end
local list = call('ZRANGE', B, 0, -1, 'WITHSCORES')
for i = 2, #list, 2 do list[i] = num((now - tonumber(list[i])) / 1000000) end
return list
