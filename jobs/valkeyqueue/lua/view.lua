-- ARGV: after how many milliseconds of silence a replica is dead. It changes nothing, and returns the replicas with
-- the milliseconds since they were heard of and whether they work, the number of dead letters, and stats.
local from, all = num(now - tonumber(ARGV[1]) * 1000), {}
local list = call('ZRANGE', B .. 'r', from, '+inf', 'BYSCORE', 'WITHSCORES')
for i = 1, #list, 2 do
  all[#all + 1] = list[i]
  all[#all + 1] = num((now - tonumber(list[i + 1])) / 1000)
  all[#all + 1] = call('ZSCORE', B .. 'l', list[i]) and 1 or 0
end
local counts = {}
stats(counts)
return { all, call('XLEN', B .. 'x'), counts }
